#pragma once
/// What a profile depends on of the machine, and what the kernel counts about it.

#include <cstdint>
#include <string>
#include <vector>

namespace rtmdl {

/// CPU model, number of cores, frequency governor: part of every profile's key.
[[nodiscard]] std::string machine_id();

/// Ticks that the hypervisor took from these cores since boot (/proc/stat), 10 ms each as a rule. 0 where the kernel
/// does not say.
[[nodiscard]] std::int64_t stolen_ticks(const std::vector<int>& cores);

/// Resident bytes of this process (VmRSS). 0 where the kernel does not say.
[[nodiscard]] std::int64_t resident_bytes();

}  // namespace rtmdl
