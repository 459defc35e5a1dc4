#include "ptq/recipes.h"

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

std::span<std::uint8_t> codes_of(std::span<std::byte> out) {
  return {reinterpret_cast<std::uint8_t*>(out.data()), out.size()};
}

class CastRecipe : public TensorRecipe {
 public:
  CastRecipe(Dtype from, Dtype to) : from_(from), to_(to) {}

  std::uint64_t unit_in() const override { return width(from_); }
  std::uint64_t unit_out() const override { return width(to_); }
  std::string identity() const override { return fmt::format("cast {}", name(to_)); }
  void make(const TensorInfo& /*source*/, Bytes in, std::span<std::byte> out) const override {
    cast_elements(from_, in, to_, out);
  }

 private:
  Dtype from_;
  Dtype to_;
};

class TransposeRecipe : public TensorRecipe {
 public:
  TransposeRecipe(const Shape& shape, Dtype from, Dtype to)
      : rows_(static_cast<std::size_t>(shape[0])),
        columns_(static_cast<std::size_t>(shape[1])),
        from_(from),
        to_(to) {}

  std::uint64_t unit_in() const override { return rows_ * columns_ * width(from_); }
  std::uint64_t unit_out() const override { return rows_ * columns_ * width(to_); }
  std::string identity() const override {
    return fmt::format("transpose {} {} {}", rows_, columns_, name(to_));
  }
  void make(const TensorInfo& /*source*/, Bytes in, std::span<std::byte> out) const override {
    const std::size_t size = width(from_);
    std::vector<std::byte> turned(in.size());
    for (std::size_t row = 0; row < rows_; ++row) {
      for (std::size_t column = 0; column < columns_; ++column) {
        std::memcpy(turned.data() + (row * columns_ + column) * size,
                    in.data() + (column * rows_ + row) * size, size);
      }
    }
    cast_elements(from_, turned, to_, out);
  }

 private:
  std::size_t rows_;
  std::size_t columns_;
  Dtype from_;
  Dtype to_;
};

/// What the quantizing recipes share: values on their way to the dtype that is computed in.
class WeightRecipe : public TensorRecipe {
 public:
  explicit WeightRecipe(const WeightPath& path) : path_(path) {}

 protected:
  /// Memory for values whose dtype changes on the way.
  struct Room {
    std::vector<std::byte> loaded;
    std::vector<std::byte> computed;
  };

  /// `in` in the dtype that is computed in: itself where that is the stored one, otherwise in `room`.
  Bytes computed(Bytes in, Room& room) const {
    const Bytes loaded = converted(path_.stored, path_.loaded, in, room.loaded);
    return converted(path_.loaded, path_.computed, loaded, room.computed);
  }

  std::string path_text() const {
    return fmt::format("{} {} {}", name(path_.stored), name(path_.loaded), name(path_.computed));
  }

  const WeightPath& path() const { return path_; }

 private:
  static Bytes converted(Dtype from, Dtype to, Bytes in, std::vector<std::byte>& room) {
    if (from == to) return in;
    room.resize(in.size() / width(from) * width(to));
    cast_elements(from, in, to, room);
    return room;
  }

  WeightPath path_;
};

class Fp8Recipe : public WeightRecipe {
 public:
  Fp8Recipe(const WeightPath& path, float scale, Arithmetic arithmetic)
      : WeightRecipe(path),
        scale_(scale),
        divisor_(fp8_export_divisor(scale, path.computed, arithmetic)) {}

  std::uint64_t unit_in() const override { return width(path().stored); }
  std::uint64_t unit_out() const override { return 1; }
  std::string identity() const override {
    return fmt::format("fp8 {} {:a} {:a}", path_text(), scale_, divisor_);
  }
  void make(const TensorInfo& source, Bytes in, std::span<std::byte> out) const override {
    Room room;
    const Bytes values = computed(in, room);
    if (quantize_e4m3_exported(path().computed, values, divisor_, codes_of(out)) == 0) return;
    throw Error(ErrorCode::not_a_number,
                "a value exceeds its layer's amax so far that E4M3 has no number for it",
                {.path = source.file->path(),
                 .tensor = source.name,
                 .expected = fmt::format("magnitudes up to {}", 464.0f * divisor_),
                 .found = "a larger one, or NaN",
                 .advice = "The calibration is not this weight's, or its scale does not fit the "
                           "weight's dtype: --model-dtype BFloat16 has a wider range"});
  }

 private:
  float scale_;
  float divisor_;
};

class Nvfp4Recipe : public WeightRecipe {
 public:
  Nvfp4Recipe(const WeightPath& path, float global_scale, std::size_t block)
      : WeightRecipe(path), global_scale_(global_scale), block_(block) {}

  std::uint64_t unit_in() const override { return block_ * width(path().stored); }

 protected:
  std::string parameters() const {
    return fmt::format("{} {:a} {}", path_text(), global_scale_, block_);
  }

  static void check(std::size_t nans, const TensorInfo& source) {
    if (nans == 0) return;
    throw Error(ErrorCode::not_a_number, "a weight that is to be packed holds NaN",
                {.path = source.file->path(), .tensor = source.name});
  }

  float global_scale_;
  std::size_t block_;
};

class Nvfp4Codes : public Nvfp4Recipe {
 public:
  using Nvfp4Recipe::Nvfp4Recipe;
  std::uint64_t unit_out() const override { return block_ / 2; }
  std::string identity() const override { return "nvfp4 codes " + parameters(); }
  void make(const TensorInfo& source, Bytes in, std::span<std::byte> out) const override {
    Room room;
    std::vector<std::uint8_t> scales(out.size() / unit_out());
    const Bytes values = computed(in, room);
    check(quantize_nvfp4(path().computed, values, global_scale_, block_, codes_of(out), scales),
          source);
  }
};

class Nvfp4Scales : public Nvfp4Recipe {
 public:
  using Nvfp4Recipe::Nvfp4Recipe;
  std::uint64_t unit_out() const override { return 1; }
  std::string identity() const override { return "nvfp4 scales " + parameters(); }
  void make(const TensorInfo& source, Bytes in, std::span<std::byte> out) const override {
    Room room;
    const Bytes values = computed(in, room);
    check(nvfp4_block_scales(path().computed, values, global_scale_, block_, codes_of(out)),
          source);
  }
};

}  // namespace

std::shared_ptr<const TensorRecipe> cast_recipe(Dtype from, Dtype to) {
  return std::make_shared<CastRecipe>(from, to);
}

std::shared_ptr<const TensorRecipe> transpose_recipe(const Shape& shape, Dtype from, Dtype to) {
  return std::make_shared<TransposeRecipe>(shape, from, to);
}

std::shared_ptr<const TensorRecipe> fp8_recipe(const WeightPath& path,
                                               float scale,
                                               Arithmetic arithmetic) {
  return std::make_shared<Fp8Recipe>(path, scale, arithmetic);
}

std::shared_ptr<const TensorRecipe> nvfp4_codes_recipe(const WeightPath& path,
                                                       float global_scale,
                                                       std::size_t block) {
  return std::make_shared<Nvfp4Codes>(path, global_scale, block);
}

std::shared_ptr<const TensorRecipe> nvfp4_scales_recipe(const WeightPath& path,
                                                        float global_scale,
                                                        std::size_t block) {
  return std::make_shared<Nvfp4Scales>(path, global_scale, block);
}

}  // namespace ditq
