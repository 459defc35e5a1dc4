#include "perf/perf_settings.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>

#include <fmt/format.h>

#include "base/error.h"

namespace ditq {
namespace {

enum class Kind { text, texts, number, boolean };

/// A setting whose type is known.
struct Setting {
  const char* pointer;  ///< in the tree
  Kind kind;
  const char* meta_key;  ///< directly under meta, in files without a tree; nullptr: none
};

constexpr std::array kSettings = {
    Setting{"/prompt", Kind::texts, "prompt"},
    Setting{"/negative_prompt", Kind::text, "negative_prompt"},
    Setting{"/seed", Kind::number, "seed"},
    Setting{"/width", Kind::number, "width"},
    Setting{"/height", Kind::number, "height"},
    Setting{"/num_frames", Kind::number, "num_frames"},
    Setting{"/num_inference_steps", Kind::number, "num_inference_steps"},
    Setting{"/guidance_scale", Kind::number, "guidance_scale"},
    Setting{"/guidance_scale_2", Kind::number, "guidance_scale_2"},
    Setting{"/true_cfg_scale", Kind::number, "true_cfg_scale"},
    Setting{"/max_sequence_length", Kind::number, "max_sequence_length"},
    Setting{"/dtype", Kind::text, "dtype"},
    Setting{"/device", Kind::text, nullptr},
    Setting{"/device_model", Kind::text, nullptr},
    Setting{"/threads", Kind::number, "threads"},
    Setting{"/attention_backend", Kind::text, "attention_backend"},
    Setting{"/fp4_gemm_backend", Kind::text, "fp4_gemm_backend"},
    Setting{"/nvfp4_activations", Kind::text, "nvfp4_activations"},
    Setting{"/offload/dit_cpu_offload", Kind::boolean, "dit_cpu_offload"},
    Setting{"/offload/dit_layerwise_offload", Kind::boolean, "dit_layerwise_offload"},
    Setting{"/offload/text_encoder_cpu_offload", Kind::boolean, "text_encoder_cpu_offload"},
    Setting{"/offload/image_encoder_cpu_offload", Kind::boolean, "image_encoder_cpu_offload"},
    Setting{"/offload/vae_cpu_offload", Kind::boolean, "vae_cpu_offload"},
    Setting{"/topology/num_gpus", Kind::number, "num_gpus"},
    Setting{"/topology/tp_size", Kind::number, "tp_size"},
    Setting{"/topology/sp_degree", Kind::number, "sp_degree"},
    Setting{"/topology/ulysses_degree", Kind::number, "ulysses_degree"},
    Setting{"/topology/ring_degree", Kind::number, "ring_degree"},
    Setting{"/topology/enable_cfg_parallel", Kind::boolean, "enable_cfg_parallel"},
    Setting{"/vae_tiling", Kind::boolean, "vae_tiling"},
    Setting{"/graphs", Kind::boolean, "graphs"},
    Setting{"/compile", Kind::boolean, "enable_torch_compile"},
    Setting{"/profiler", Kind::boolean, "profiler"},
    Setting{"/step_cache", Kind::boolean, "enable_teacache"},
    Setting{"/warmup_runs", Kind::number, "warmup_runs"},
};

const char* kind_name(Kind kind) {
  switch (kind) {
    case Kind::text:
      return "a string";
    case Kind::texts:
      return "a string or a list of strings";
    case Kind::number:
      return "a number";
    default:
      return "true or false";
  }
}

bool is_of_kind(const Json& value, Kind kind) {
  const auto is_text = [](const Json& item) { return item.is_string(); };
  switch (kind) {
    case Kind::text:
      return value.is_string();
    case Kind::texts:
      return value.is_string() ||
             (value.is_array() && std::all_of(value.begin(), value.end(), is_text));
    case Kind::number:
      return value.is_number();
    default:
      return value.is_boolean();
  }
}

/// "/offload/dit_cpu_offload" as people write it.
std::string dotted(std::string_view pointer) {
  std::string out(pointer.substr(1));
  std::replace(out.begin(), out.end(), '/', '.');
  return out;
}

void require_kind(const Json& value, Kind kind, const std::string& key, const std::string& path) {
  if (is_of_kind(value, kind)) return;
  throw Error(
      ErrorCode::json_type, fmt::format("perf.json: {} is of another type", key),
      {.path = path, .expected = kind_name(kind), .found = dump_json(value).substr(0, 100)});
}

/// A copy without nulls; counts what is left.
Json without_nulls(const Json& object, std::size_t& count, const std::string& path) {
  Json out = Json::object();
  for (const auto& [key, value] : object.items()) {
    if (value.is_null()) continue;
    if (++count > kMaxPerfSettings) {
      throw Error(ErrorCode::json_type, "perf.json: meta.settings has too many members",
                  {.path = path, .expected = fmt::format("at most {}", kMaxPerfSettings)});
    }
    out[key] = value.is_object() ? without_nulls(value, count, path) : value;
  }
  return out;
}

/// Puts a value of meta into the tree; what stands there already must be equal.
void adopt(Json& settings, const Setting& setting, const Json& value, const std::string& path) {
  const Json::json_pointer pointer(setting.pointer);
  if (settings.contains(pointer)) {
    const Json& present = settings.at(pointer);
    if (present == value) return;
    throw Error(ErrorCode::bad_config,
                fmt::format("perf.json contradicts itself about {}", dotted(setting.pointer)),
                {.path = path,
                 .expected = "meta and meta.settings that agree",
                 .found = fmt::format("{} and {}", dump_json(value).substr(0, 100),
                                      dump_json(present).substr(0, 100))});
  }
  // A group that another kind of value has taken cannot hold members: it is compared as it is.
  const Json::json_pointer parent = pointer.parent_pointer();
  if (settings.contains(parent) && !settings.at(parent).is_object()) return;
  settings[pointer] = value;
}

constexpr Setting kDevice{"/device", Kind::text, nullptr};
constexpr Setting kDeviceModel{"/device_model", Kind::text, nullptr};

/// "cuda:0 (NVIDIA H100 80GB HBM3)": the number of a device is no setting, its model is one.
void adopt_device(Json& settings, const std::string& device, const std::string& path) {
  const std::size_t open = device.find(" (");
  adopt(settings, kDevice, device.substr(0, device.find_first_of(": ")), path);
  if (open == std::string::npos || !device.ends_with(')')) return;
  adopt(settings, kDeviceModel, device.substr(open + 2, device.size() - open - 3), path);
}

/// The value of a key of meta, or nullptr; nulls are absent.
const Json* member(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

/// One prompt in a list is that prompt.
Json unwrapped(const Json& value) {
  return value.is_array() && value.size() == 1 ? value[0] : value;
}

Json declared_settings(const Json& meta, const std::string& path) {
  const Json* settings = member(meta, "settings");
  if (settings == nullptr) return Json::object();
  if (!settings->is_object()) {
    throw Error(ErrorCode::json_type, "perf.json: meta.settings is of another type",
                {.path = path, .expected = "an object", .found = settings->type_name()});
  }
  std::size_t count = 0;
  Json out = without_nulls(*settings, count, path);
  for (const Setting& setting : kSettings) {
    const Json::json_pointer pointer(setting.pointer);
    if (!out.contains(pointer)) continue;
    require_kind(out.at(pointer), setting.kind, "meta.settings." + dotted(setting.pointer), path);
  }
  if (out.contains("prompt")) out["prompt"] = unwrapped(out["prompt"]);
  return out;
}

}  // namespace

Json perf_settings(const Json& meta, const std::string& path) {
  Json out = declared_settings(meta, path);
  for (const Setting& setting : kSettings) {
    const Json* value = setting.meta_key == nullptr ? nullptr : member(meta, setting.meta_key);
    if (value == nullptr) continue;
    require_kind(*value, setting.kind, fmt::format("meta.{}", setting.meta_key), path);
    adopt(out, setting, setting.kind == Kind::texts ? unwrapped(*value) : *value, path);
  }
  if (const Json* device = member(meta, "device"); device != nullptr) {
    require_kind(*device, Kind::text, "meta.device", path);
    adopt_device(out, device->get<std::string>(), path);
  }
  return out;
}

}  // namespace ditq
