#pragma once
// The report of `ditq inspect` as a page for people.

#include <string>

#include "inspect_report.h"
#include "terminal.h"

namespace ditq {

/// The page. Layers are folded by their role ("blocks.#.attn.to_q", 19 times) unless `layers` asks for every one.
std::string format_report(const InspectReport& report, bool layers, const Style& style);

/// A large count for people: "9.24 M", "11.9 B".
std::string human_count(std::uint64_t count);

}  // namespace ditq
