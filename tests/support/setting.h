// A variable of the environment that has another value for a while.
#pragma once

#include <optional>
#include <string>

namespace test_support
{
class Setting
{
  public:
    // Null: the variable is removed.
    Setting(const char *name, const char *value);
    ~Setting();
    Setting(const Setting &) = delete;
    Setting &operator=(const Setting &) = delete;

  private:
    void set(const char *value) const;

    const char *name_;
    std::optional<std::string> before_;
};
} // namespace test_support
