#include "pipeline/measurements.h"

#include "pipeline/confidence.h"

namespace ditq {
namespace {

std::vector<double> prompt_means(const std::vector<std::vector<double>>& values) {
  std::vector<double> means;
  for (const std::vector<double>& steps : values) means.push_back(mean(steps));
  return means;
}

}  // namespace

double NoiseError::noise_l2() const {
  return mean(prompt_means(l2));
}

double NoiseError::confidence() const {
  return confidence_95(prompt_means(l2));
}

double NoiseError::worst_cosine() const {
  double worst = 1;
  for (const std::vector<double>& steps : cosine) {
    // A NaN is the worst there is.
    for (const double value : steps) worst = value >= worst ? worst : value;
  }
  return worst;
}

}  // namespace ditq
