// The scenarios' names, for the program that plays them and for the one that has them played.
#pragma once

#include <string>
#include <vector>

namespace torture
{
struct Listed {
    std::string name;
    bool tortures_daemon; // its calls are worth failing
    bool tortures_client;
};

inline const std::vector<Listed> &scenario_list()
{
    static const std::vector<Listed> all{
        {"echo", true, true},   {"accept", true, true},    {"write", true, true},  {"pipeline", true, true},
        {"hoard", true, true},  {"fallback", true, true},  {"calls", true, true},  {"time", true, true},
        {"two", true, true},    {"pull", false, true},     {"start", true, false}, {"handover", true, true},
        {"leave", true, false}, {"autostart", true, true}, {"loss", false, true},  {"succession", true, false},
    };
    return all;
}
} // namespace torture
