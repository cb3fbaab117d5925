#pragma once
/// `rtmdl train`. libtorch is behind a plug-in, which is loaded when the verb starts.

#include <functional>
#include <string>

namespace CLI {
class App;
}

namespace rtmdl {

/// Adds the verb; when it is chosen, `chosen` is set to what does it. `exit_help` ends its --help.
void add_train_verb(CLI::App& app, std::function<int()>& chosen, const std::string& exit_help);

}  // namespace rtmdl
