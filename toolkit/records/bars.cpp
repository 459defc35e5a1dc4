#include "records/bars.h"

#include <cmath>

#include <fmt/format.h>

namespace ditq {

bool Bar::holds(double figure) const {
  if (op == ">=") return figure >= value;
  if (op == "<=") return figure <= value;
  if (op == ">") return figure > value;
  return figure < value;
}

std::string Bar::text() const {
  return fmt::format("{}{}{}", metric, op, value);
}

std::string bars_text(const std::vector<Bar>& bars) {
  std::string out;
  for (const Bar& bar : bars) out += (out.empty() ? "" : ",") + bar.text();
  return out;
}

std::vector<Bar> read_bars(const Fields& owner, const std::string& key) {
  std::vector<Bar> out;
  for (const Fields& entry : owner.objects(key)) {
    entry.only({"metric", "op", "value"});
    Bar bar{.metric = entry.text("metric"), .op = entry.text("op"), .value = entry.number("value")};
    if (bar.op != ">=" && bar.op != "<=" && bar.op != ">" && bar.op != "<") {
      entry.fail("op", "one of >= <= > <");
    }
    if (!std::isfinite(bar.value)) entry.fail("value", "a finite number");
    out.push_back(std::move(bar));
  }
  return out;
}

Json to_json(const std::vector<Bar>& bars) {
  Json out = Json::array();
  for (const Bar& bar : bars) {
    out.push_back({{"metric", bar.metric}, {"op", bar.op}, {"value", bar.value}});
  }
  return out;
}

}  // namespace ditq
