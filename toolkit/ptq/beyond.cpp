#include "ptq/beyond.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include <fmt/format.h>

#include "base/error.h"
#include "quant/cast.h"
#include "quant/fp8.h"
#include "quant/nvfp4.h"

namespace ditq {
namespace {

std::uint64_t width(Dtype dtype) {
  return bits(dtype) / 8;
}

/// Elements on their way from the stored dtype through the loaded one to the one that is computed in.
std::vector<std::byte> computed(const WeightPath& path, Bytes in) {
  const std::size_t count = in.size() / width(path.stored);
  std::vector<std::byte> loaded(count * width(path.loaded));
  cast_elements(path.stored, in, path.loaded, loaded);
  if (path.loaded == path.computed) return loaded;
  std::vector<std::byte> out(count * width(path.computed));
  cast_elements(path.loaded, loaded, path.computed, out);
  return out;
}

[[noreturn]] void fail_number(const TensorInfo& source) {
  throw Error(ErrorCode::not_a_number, "a weight that is to be packed holds NaN or infinity",
              {.path = source.file->path(), .tensor = source.name});
}

/// A row is a unit: its scale depends on nothing else.
class ChannelRecipe : public TensorRecipe {
 public:
  ChannelRecipe(const WeightPath& path,
                std::int64_t columns,
                const WeightClip& clip,
                Arithmetic arithmetic)
      : path_(path),
        columns_(static_cast<std::size_t>(columns)),
        clip_(clip),
        arithmetic_(arithmetic) {}

  std::uint64_t unit_in() const override { return columns_ * width(path_.stored); }

 protected:
  /// Calls visit(row, scale, values) for every row of `in`.
  template <typename Visit>
  void for_rows(const TensorInfo& source, Bytes in, const Visit& visit) const {
    const std::vector<std::byte> values = computed(path_, in);
    const std::size_t row_bytes = columns_ * width(path_.computed);
    for (std::size_t row = 0; row * row_bytes < values.size(); ++row) {
      const Bytes part = Bytes(values).subspan(row * row_bytes, row_bytes);
      const float amax = clipped_amax_e4m3(clip_, path_.computed, part);
      if (!std::isfinite(amax)) fail_number(source);
      visit(row, amax == 0 ? 1.0F : fp8_scale(amax, arithmetic_), part);
    }
  }
  std::string parameters() const {
    return fmt::format("{} {} {} {} {} {}", name(path_.stored), name(path_.loaded),
                       name(path_.computed), columns_, to_string(clip_),
                       arithmetic_ == Arithmetic::cuda ? "cuda" : "cpu");
  }

  WeightPath path_;
  std::size_t columns_;
  WeightClip clip_;
  Arithmetic arithmetic_;
};

class ChannelCodes : public ChannelRecipe {
 public:
  using ChannelRecipe::ChannelRecipe;
  std::uint64_t unit_out() const override { return columns_; }
  std::string identity() const override { return "fp8 channel codes " + parameters(); }
  void make(const TensorInfo& source, Bytes in, std::span<std::byte> out) const override {
    auto* codes = reinterpret_cast<std::uint8_t*>(out.data());
    for_rows(source, in, [&](std::size_t row, float scale, Bytes values) {
      quantize_e4m3_clamped(path_.computed, values, scale, {codes + row * columns_, columns_});
    });
  }
};

class ChannelScales : public ChannelRecipe {
 public:
  using ChannelRecipe::ChannelRecipe;
  std::uint64_t unit_out() const override { return sizeof(float); }
  std::string identity() const override { return "fp8 channel scales " + parameters(); }
  void make(const TensorInfo& source, Bytes in, std::span<std::byte> out) const override {
    for_rows(source, in, [&](std::size_t row, float scale, Bytes) {
      std::memcpy(out.data() + row * sizeof(scale), &scale, sizeof(scale));
    });
  }
};

class ClampedRecipe : public TensorRecipe {
 public:
  ClampedRecipe(const WeightPath& path, float scale) : path_(path), scale_(scale) {}

  std::uint64_t unit_in() const override { return width(path_.stored); }
  std::uint64_t unit_out() const override { return 1; }
  std::string identity() const override {
    return fmt::format("fp8 clamped {} {} {} {:a}", name(path_.stored), name(path_.loaded),
                       name(path_.computed), scale_);
  }
  void make(const TensorInfo& source, Bytes in, std::span<std::byte> out) const override {
    const std::vector<std::byte> values = computed(path_, in);
    auto* codes = reinterpret_cast<std::uint8_t*>(out.data());
    if (quantize_e4m3_clamped(path_.computed, values, scale_, {codes, out.size()}) != 0) {
      fail_number(source);
    }
  }

 private:
  WeightPath path_;
  float scale_;
};

[[noreturn]] void refuse(const std::string& sentence, const std::string& advice) {
  throw Error(ErrorCode::usage, sentence, {.advice = advice});
}

}  // namespace

bool BeyondModelopt::any() const {
  return channel_token || weights_only || clip.rule != WeightClip::Rule::none;
}

bool parse_granularity(const std::string& spelling) {
  if (spelling == "tensor") return false;
  if (spelling == "channel-token" || spelling == "channel_token") return true;
  throw Error(ErrorCode::usage, "unknown --granularity",
              {.expected = "tensor or channel-token", .found = "'" + spelling + "'"});
}

void check_beyond(const BeyondModelopt& beyond, Element format, CalibrationAlgorithm algorithm) {
  if (beyond.channel_token && format != Element::fp8) {
    refuse("--granularity channel-token is a form of FP8", "Use it with --format fp8");
  }
  if (beyond.weights_only && !beyond.channel_token) {
    refuse("--weights-only needs --granularity channel-token",
           "Other layers carry a static input scale, which only a calibration gives; without it "
           "no loader takes them");
  }
  if (beyond.any() && algorithm == CalibrationAlgorithm::svdquant) {
    refuse("--granularity and --weight-clip do not go with SVDQuant",
           "Its residuals were measured with the scales that they have");
  }
}

Json beyond_document(const BeyondModelopt& beyond) {
  Json out;
  if (beyond.channel_token) out["granularity"] = "channel-token";
  if (beyond.clip.rule != WeightClip::Rule::none) out["weight_clip"] = to_string(beyond.clip);
  if (beyond.weights_only) out["weights_only"] = true;
  return out;
}

void amend_config(const BeyondModelopt& beyond, Json& quantization_config) {
  if (!beyond.any()) return;
  if (beyond.channel_token) {
    quantization_config["config_groups"]["group_0"]["input_activations"]["dynamic"] = true;
    quantization_config["quant_algo"] = "FP8_PER_CHANNEL_PER_TOKEN";
  }
  quantization_config["ditq"] = beyond_document(beyond);
}

std::shared_ptr<const TensorRecipe> fp8_channel_codes_recipe(const WeightPath& path,
                                                             std::int64_t columns,
                                                             const WeightClip& clip,
                                                             Arithmetic arithmetic) {
  return std::make_shared<ChannelCodes>(path, columns, clip, arithmetic);
}

std::shared_ptr<const TensorRecipe> fp8_channel_scales_recipe(const WeightPath& path,
                                                              std::int64_t columns,
                                                              const WeightClip& clip,
                                                              Arithmetic arithmetic) {
  return std::make_shared<ChannelScales>(path, columns, clip, arithmetic);
}

std::shared_ptr<const TensorRecipe> fp8_clamped_recipe(const WeightPath& path, float scale) {
  return std::make_shared<ClampedRecipe>(path, scale);
}

float clipped_weight_amax(const WeightClip& clip,
                          Element format,
                          const TensorInfo& weight,
                          const WeightPath& path) {
  // A multiple of what clipped_amax sums together, and of NVFP4's blocks.
  constexpr std::uint64_t kElements = std::uint64_t{1} << 18;
  const WeightReader reader = [&](const std::function<void(Bytes)>& visit) {
    std::vector<std::byte> piece;
    const std::uint64_t step = kElements * width(path.stored);
    for (std::uint64_t at = 0; at < weight.size; at += step) {
      piece.resize(static_cast<std::size_t>(std::min(step, weight.size - at)));
      weight.file->read(weight.offset + at, piece);
      visit(computed(path, piece));
    }
  };
  return format == Element::fp8 ? clipped_amax_e4m3(clip, path.computed, reader)
                                : clipped_amax_nvfp4(clip, path.computed, reader);
}

}  // namespace ditq
