#pragma once
// Means of few measurements, and how sure they are.

#include <vector>

namespace ditq {

/// The arithmetic mean of one value or more.
double mean(const std::vector<double>& values);

/// Half the width of the 95 % confidence interval of the mean: Student's t at n - 1 degrees of freedom times the standard
/// error. 0 for a single value, which says nothing about its spread.
double confidence_95(const std::vector<double>& values);

}  // namespace ditq
