#pragma once
/// `rtmdl inspect`: what a model is made of and what of it can be scaled.

#include <functional>

namespace CLI {
class App;
}

namespace rtmdl {

/// Declares the verb; parsing it sets `chosen`.
void add_inspect_verb(CLI::App& app, std::function<int()>& chosen);

}  // namespace rtmdl
