#include "pipeline/clip_similarity.h"

#include <algorithm>
#include <cmath>
#include <filesystem>

#include <fmt/format.h>

#include "base/error.h"
#include "format/checkpoint.h"
#include "media/resize.h"
#include "models/encoders/clip_vision.h"
#include "nn/config_reader.h"
#include "pipeline/metrics.h"
#include "tensor/create.h"

namespace ditq {
namespace {

namespace fs = std::filesystem;

constexpr const char* kWhat = "CLIP preprocessing";
constexpr std::int64_t kMaxSide = 4096;
constexpr std::int64_t kBicubic = 3;  // Pillow's number

void require_steps(const Json& config, const std::string& path) {
  ConfigReader reader(config, kWhat, path);
  std::string left_out;
  for (const char* step : {"do_resize", "do_center_crop", "do_rescale", "do_normalize"}) {
    if (!reader.flag(step, true))
      left_out += fmt::format("{}{} false", left_out.empty() ? "" : ", ", step);
  }
  const std::int64_t filter = reader.index("resample", kBicubic, 100);
  reader.finish();
  if (filter != kBicubic)
    left_out += fmt::format("{}resample {}", left_out.empty() ? "" : ", ", filter);
  if (left_out.empty()) return;
  throw Error(ErrorCode::unsupported, "this preprocessing of pictures is not built",
              {.path = path,
               .expected = "resize by bicubic (3), center crop, rescale, normalize",
               .found = left_out});
}

/// A member that is a number, or an object of numbers.
std::int64_t side_of(const Json& config,
                     const char* key,
                     const char* member,
                     const std::string& path) {
  const bool object = config.contains(key) && config[key].is_object();
  ConfigReader reader(object ? config[key] : config, fmt::format("{} {}", kWhat, key), path);
  if (object && !reader.has(member)) {
    reader.problem(fmt::format("{} is not there", member));
  }
  const std::int64_t out = reader.integer(object ? member : key, 224, kMaxSide);
  reader.finish();
  return out;
}

std::vector<double> three(const Json& config,
                          const char* key,
                          const std::vector<double>& absent,
                          const std::string& path) {
  if (!config.contains(key) || config[key].is_null()) return absent;
  const Json& list = config[key];
  const bool numbers =
      list.is_array() && list.size() == 3 &&
      std::all_of(list.begin(), list.end(), [](const Json& value) { return value.is_number(); });
  if (!numbers) {
    throw Error(ErrorCode::bad_config, fmt::format("{}: {} is wrong", kWhat, key),
                {.path = path, .expected = "three numbers", .found = dump_json(list)});
  }
  return list.get<std::vector<double>>();
}

}  // namespace

ClipPreprocessing ClipPreprocessing::parse(const Json& config, const std::string& path) {
  require_steps(config, path);
  ClipPreprocessing out;
  out.size = side_of(config, "size", "shortest_edge", path);
  out.crop_width = side_of(config, "crop_size", "width", path);
  out.crop_height = side_of(config, "crop_size", "height", path);
  if (std::max(out.crop_width, out.crop_height) > out.size) {
    throw Error(ErrorCode::unsupported, "this preprocessing of pictures is not built",
                {.path = path,
                 .expected = fmt::format("a crop of at most {} pixels", out.size),
                 .found = fmt::format("{} x {}", out.crop_width, out.crop_height)});
  }
  ConfigReader reader(config, kWhat, path);
  out.factor = reader.positive("rescale_factor", out.factor);
  reader.finish();
  out.mean = three(config, "image_mean", out.mean, path);
  out.deviation = three(config, "image_std", out.deviation, path);
  return out;
}

Tensor ClipPreprocessing::operator()(const Picture& picture) const {
  // The longer side is cut off, not rounded.
  const std::int64_t shorter = std::min(picture.width, picture.height);
  const auto scaled = [&](std::int64_t side) {
    return side == shorter ? size
                           : static_cast<std::int64_t>(static_cast<double>(size * side) /
                                                       static_cast<double>(shorter));
  };
  const Picture cut =
      center_crop(resize_bicubic(picture, scaled(picture.width), scaled(picture.height)),
                  crop_width, crop_height);
  Tensor out = empty({1, 3, crop_height, crop_width}, at::kFloat);
  auto* target = out.mutable_data_ptr<float>();
  const std::size_t pixels = cut.pixels.size() / 3;
  for (std::size_t c = 0; c < 3; ++c) {
    const auto middle = static_cast<float>(mean[c]);
    const auto spread = static_cast<float>(deviation[c]);
    for (std::size_t i = 0; i < pixels; ++i) {
      // The product in double precision, everything behind it in single, as numpy does it there.
      const auto value = static_cast<float>(cut.pixels[3 * i + c] * factor);
      *target++ = (value - middle) / spread;
    }
  }
  return out;
}

ClipSimilarity::ClipSimilarity(const std::string& folder) {
  const auto file = [&](const char* name) { return (fs::path(folder) / name).string(); };
  const std::string config_path = file("config.json");
  const std::string preprocessor = file("preprocessor_config.json");
  const ClipVisionConfig config = ClipVisionConfig::parse(read_json(config_path), config_path);
  preprocessing_ = ClipPreprocessing::parse(read_json(preprocessor), preprocessor);
  if (preprocessing_.crop_width != config.image_size ||
      preprocessing_.crop_height != config.image_size) {
    throw Error(
        ErrorCode::bad_config, "the preprocessed pictures do not fit the network",
        {.path = preprocessor,
         .expected =
             fmt::format("crop_size {0} x {0}, image_size of config.json", config.image_size),
         .found = fmt::format("{} x {}", preprocessing_.crop_width, preprocessing_.crop_height)});
  }
  const Weights weights(std::make_shared<const Checkpoint>(Checkpoint::open(folder)),
                        {.dtype = at::kFloat});
  network_ = std::make_unique<const ClipVision>(weights, config);
}

ClipSimilarity::~ClipSimilarity() = default;

Tensor ClipSimilarity::embed(const Picture& picture) const {
  const Tensor embeds = (*network_)(preprocessing_(picture));
  return embeds.div(embeds.norm());
}

double ClipSimilarity::operator()(const Picture& reference, const Picture& candidate) const {
  return embed(reference).mul(embed(candidate)).sum().item<double>();
}

}  // namespace ditq
