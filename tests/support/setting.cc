#include "tests/support/setting.h"

#include <cstdlib>

namespace test_support
{
Setting::Setting(const char *name, const char *value) : name_(name)
{
    const char *before = getenv(name);
    before_ = before ? std::optional<std::string>(before) : std::nullopt;
    set(value);
}

Setting::~Setting()
{
    set(before_ ? before_->c_str() : nullptr);
}

void Setting::set(const char *value) const
{
    if (value) {
        setenv(name_, value, 1);
    } else {
        unsetenv(name_);
    }
}
} // namespace test_support
