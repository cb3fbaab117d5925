#pragma once
/// `rtmdl train`: only in builds with libtorch (RTMDL_TRAINING).

#include <functional>

namespace CLI {
class App;
}

namespace rtmdl {

/// Adds the verb; when it is chosen, `chosen` is set to what does it.
void add_train_verb(CLI::App& app, std::function<int()>& chosen);

}  // namespace rtmdl
