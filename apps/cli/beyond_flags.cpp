#include "beyond_flags.h"

namespace ditq {

void BeyondFlags::declare(Flags& flags) {
  flags.group("Beyond ModelOpt (off by default; the written config names them under 'ditq')");
  flags.add("granularity", granularity_, "HOW",
            "tensor (default), or channel-token: FP8 with a scale for each output channel, and "
            "for each token at run time (FP8_PER_CHANNEL_PER_TOKEN)");
  flags.add("weight-clip", clip_, "RULE",
            "What weights' scales are made of: none (default: the largest magnitude), "
            "percentile:P, or mse (the least squared error); what lies above saturates");
  flags.add("weights-only", weights_only_,
            "Convert without a calibration; with --granularity channel-token, which needs none");
}

BeyondModelopt BeyondFlags::read() const {
  return {.channel_token = parse_granularity(granularity_),
          .clip = parse_weight_clip(clip_),
          .weights_only = weights_only_};
}

}  // namespace ditq
