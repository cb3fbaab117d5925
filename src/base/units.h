#pragma once
/// Quantities as people write them: "33.3 ms", "60 MB", "95 %". A number without its unit is refused.
/// All throw Error(bad_input) whose text says what was found and what is accepted (no file or key: the caller adds
/// those).

#include <rtmdl/time.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace rtmdl {

[[nodiscard]] Duration parse_duration(std::string_view text);   ///< ns, us, µs, ms, s, m (min), h
[[nodiscard]] std::int64_t parse_bytes(std::string_view text);  ///< B, kB, MB, GB (powers of 1000), KiB, MiB, GiB
[[nodiscard]] double parse_fraction(std::string_view text);     ///< "95 %" -> 0.95
[[nodiscard]] double parse_hertz(std::string_view text);        ///< "16 kHz" -> 16000; Hz, kHz, MHz
[[nodiscard]] double parse_watts(std::string_view text);        ///< "250 mW" -> 0.25; uW, mW, W, kW
[[nodiscard]] double parse_joules(std::string_view text);       ///< "20 Wh" -> 72000; uJ, mJ, J, kJ, mWh, Wh, kWh
[[nodiscard]] std::string format_duration(Duration d);          ///< "33.3 ms"
[[nodiscard]] std::string format_bytes(std::int64_t bytes);     ///< "60.0 MB"
[[nodiscard]] std::string format_watts(double watts);           ///< "5.25 W"
[[nodiscard]] std::string format_joules(double joules);         ///< "120 mJ"
[[nodiscard]] std::string format_percent(double fraction, int decimals = 1);  ///< 0.953 -> "95.3 %"

}  // namespace rtmdl
