#pragma once
// Bars on quality figures, as `--require` spells them: 'psnr>=28,ssim>=0.94'.

#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "records/fields.h"

namespace ditq {

/// One bar on a named figure.
struct Bar {
  std::string metric;  ///< as `ditq compare --require` names it
  std::string op;      ///< ">=", "<=", ">" or "<"
  double value = 0;

  /// Whether a figure meets it; NaN never does.
  bool holds(double figure) const;
  /// "psnr>=28".
  std::string text() const;
};

/// 'psnr>=28,ssim>=0.94'.
std::string bars_text(const std::vector<Bar>& bars);

/// From {"metric": …, "op": …, "value": …} objects. Errors: json_type.
std::vector<Bar> read_bars(const Fields& owner, const std::string& key);
Json to_json(const std::vector<Bar>& bars);

}  // namespace ditq
