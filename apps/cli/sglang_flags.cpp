#include "sglang_flags.h"

#include <algorithm>
#include <cstdlib>
#include <deque>

#include <fmt/format.h>

#include "base/error.h"
#include "base/log.h"
#include "terminal.h"

namespace ditq {
namespace {

enum class Reaction {
  refuse,  ///< any value but the neutral ones ends the run
  note,    ///< has no effect here, whatever the value
};

/// One flag of SGLang's.
struct SglangFlag {
  const char* name;
  bool boolean;
  std::vector<std::string> neutral;  ///< values that change nothing
  Reaction reaction;
  const char* reason;
};

constexpr const char* kOffload = "networks stay where they are: offload is not built yet";
constexpr const char* kOneDevice = "one device a run: parallel runs are not built yet";
constexpr const char* kScheme = "the checkpoint's own config declares its scheme";
constexpr const char* kLora = "LoRA is not built yet";
constexpr const char* kPicture = "the families that run make pictures from text";
constexpr const char* kPng = "pictures are written as PNG, which loses nothing";

const std::vector<SglangFlag>& table() {
  static const std::vector<SglangFlag> flags = {
      {"text-encoder-cpu-offload", true, {"false"}, Reaction::refuse, kOffload},
      {"image-encoder-cpu-offload", true, {"false"}, Reaction::refuse, kOffload},
      {"vae-cpu-offload", true, {"false"}, Reaction::refuse, kOffload},
      {"dit-layerwise-offload", true, {"false"}, Reaction::refuse, kOffload},
      {"use-fsdp-inference", true, {"false"}, Reaction::refuse, kOneDevice},
      {"component-residency", false, {}, Reaction::refuse, kOffload},
      {"performance-mode", false, {}, Reaction::refuse, kOffload},
      {"pin-cpu-memory", true, {}, Reaction::note, "it concerns offloaded weights only"},
      {"dit-offload-prefetch-size",
       false,
       {},
       Reaction::note,
       "it concerns offloaded weights only"},
      {"num-gpus", false, {"1"}, Reaction::refuse, kOneDevice},
      {"tp-size", false, {"1"}, Reaction::refuse, kOneDevice},
      {"sp-degree", false, {"1"}, Reaction::refuse, kOneDevice},
      {"ulysses-degree", false, {"1"}, Reaction::refuse, kOneDevice},
      {"ring-degree", false, {"1"}, Reaction::refuse, kOneDevice},
      {"enable-cfg-parallel", true, {"false"}, Reaction::refuse, kOneDevice},
      {"backend", false, {"auto", "sglang"}, Reaction::refuse, "ditq is the only backend"},
      {"pipeline-class-name",
       false,
       {"FluxPipeline"},
       Reaction::refuse,
       "the folder's model_index.json decides"},
      {"component-attention-backends",
       false,
       {},
       Reaction::refuse,
       "one attention backend serves all components: --attention-backend"},
      {"enable-torch-compile",
       true,
       {"false"},
       Reaction::note,
       "ditq's networks are compiled already"},
      {"warmup",
       true,
       {"false"},
       Reaction::refuse,
       "a run is one generation; 'ditq compare' has --warmup-runs"},
      {"enable-teacache", true, {"false"}, Reaction::refuse, "step caching is not built yet"},
      {"quantization", false, {}, Reaction::refuse, kScheme},
      {"quantization-ignored-layers", false, {}, Reaction::refuse, kScheme},
      {"quantization-precision", false, {}, Reaction::refuse, kScheme},
      {"quantization-rank", false, {}, Reaction::refuse, kScheme},
      {"enable-svdquant", true, {"false"}, Reaction::refuse, kScheme},
      {"lora-path", false, {}, Reaction::refuse, kLora},
      {"lora-nickname", false, {}, Reaction::refuse, kLora},
      {"lora-scale", false, {}, Reaction::refuse, kLora},
      {"image-path", false, {}, Reaction::refuse, kPicture},
      {"num-frames", false, {"1"}, Reaction::refuse, kPicture},
      {"fps", false, {}, Reaction::note, kPicture},
      {"guidance-scale-2", false, {}, Reaction::refuse, "no family with two experts runs yet"},
      {"boundary-ratio", false, {}, Reaction::refuse, "no family with two experts runs yet"},
      {"guidance-rescale", false, {"0"}, Reaction::refuse, "guidance rescaling is not built yet"},
      {"return-trajectory-decoded",
       true,
       {"false"},
       Reaction::refuse,
       "only latents are recorded: --return-trajectory-latents"},
      {"return-frames", true, {}, Reaction::note, "pictures are files here"},
      {"output-quality", false, {}, Reaction::note, kPng},
      {"output-compression", false, {}, Reaction::note, kPng},
  };
  return flags;
}

/// Whether a value is a neutral one; numbers are compared as numbers ("1.0" is "1").
bool is_neutral(const SglangFlag& flag, const std::string& value) {
  char* end = nullptr;
  const double number = std::strtod(value.c_str(), &end);
  const bool numeric = !value.empty() && *end == '\0';
  return std::any_of(flag.neutral.begin(), flag.neutral.end(), [&](const std::string& neutral) {
    return value == neutral || (numeric && std::strtod(neutral.c_str(), nullptr) == number &&
                                neutral.find_first_not_of("0123456789.") == std::string::npos);
  });
}

}  // namespace

struct SglangFlags::Given {
  const SglangFlag* flag = nullptr;
  bool boolean = false;
  std::string text;

  std::string value() const { return flag->boolean ? (boolean ? "true" : "false") : text; }
};

SglangFlags::SglangFlags(Flags& flags) : flags_(flags), given_(table().size()) {
  for (std::size_t i = 0; i < given_.size(); ++i) {
    Given& given = given_[i];
    given.flag = &table()[i];
    if (given.flag->boolean)
      flags.add(given.flag->name, given.boolean, given.flag->reason).hidden();
    else
      flags.add(given.flag->name, given.text, "VALUE", given.flag->reason).hidden();
  }
}

SglangFlags::~SglangFlags() = default;

void SglangFlags::check() const {
  for (const Given& given : given_) {
    const SglangFlag& flag = *given.flag;
    if (!flags_.given(flag.name) || is_neutral(flag, given.value())) continue;
    if (flag.reaction == Reaction::refuse) {
      throw Error(ErrorCode::unsupported, fmt::format("--{} {} is not supported: {}", flag.name,
                                                      given.value(), flag.reason));
    }
    log_info(fmt::format("--{} has no effect: {}", flag.name, flag.reason));
  }
}

std::string SglangFlags::help() {
  std::string names;
  for (const SglangFlag& flag : table())
    names += fmt::format("{}--{}", names.empty() ? "" : " ", flag.name);
  return wrap_text(
             "Flags of SGLang that are accepted where they ask for what ditq does anyway, and "
             "refused by name "
             "otherwise (exit code 4):",
             96, 0) +
         "\n  " + wrap_text(names, 96, 2) + "\n";
}

}  // namespace ditq
