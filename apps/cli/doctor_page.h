#pragma once
// A doctor's report for people.

#include <string>

#include "doctor/report.h"
#include "terminal.h"

namespace ditq {

/// The whole page: what was examined, findings, errors by role, the machine. `layers`: every layer, not folded by role.
std::string format_doctor(const DoctorReport& report, bool layers, const Style& style);

}  // namespace ditq
