#include "ptq/filters.h"

#include <charconv>

namespace ditq {
namespace {

NameFilter choose(NameFilter filter, const std::string& component) {
  if (component == "video_decoder") return NameFilter::ltx2_video_decoder;
  return component == "vae" && filter == NameFilter::wan ? NameFilter::wan_vae : filter;
}

/// "Match at the start" is a search behind \A.
std::string pattern_of(NameFilter filter) {
  switch (filter) {
    case NameFilter::standard:
      return R"(\A.*(time_emb_proj|time_embedding|conv_in|conv_out|conv_shortcut|add_embedding|)"
             R"(pos_embed|time_text_embed|context_embedder|norm_out|x_embedder).*)";
    case NameFilter::flux:
      return R"(\A(proj_out.*|.*(time_text_embed|context_embedder|x_embedder|norm_out|)"
             R"(time_guidance_embed|stream_modulation).*))";
    case NameFilter::ltx:
      return R"(\A.*(proj_in|time_embed|caption_projection|proj_out|patchify_proj|adaln_single|)"
             R"(transformer_blocks\.(0|1|2|45|46|47)\.).*)";
    case NameFilter::wan:
      return R"(\A.*(patch_embedding|condition_embedder|proj_out|blocks\.(0|1|2|37|38|39)\.).*)";
    case NameFilter::qwen:
      return R"((?:^|\.)transformer_blocks\.(\d+)(?:\.|$))";
    case NameFilter::ltx2_video_decoder:
      return R"(\A.*up_blocks\.\d+\.resnets\.\d+\.conv[12](?:\.|$))";
    case NameFilter::wan_vae:
      return R"(\A.*(down_blocks\.\d+\.(?:resnets\.\d+\.)?conv[12]|mid_block\.resnets\.\d+\.conv[12]|)"
             R"(up_blocks\.\d+\.resnets\.\d+\.conv[12])(?:\.|$))";
  }
  return {};
}

/// The number behind the first "transformer_blocks." of a path that the filter's pattern matches; -1 beyond int.
int block_of(const std::string& quantizer) {
  constexpr std::string_view kBlocks = "transformer_blocks.";
  for (std::size_t at = quantizer.find(kBlocks); at != std::string::npos;
       at = quantizer.find(kBlocks, at + 1)) {
    if (at != 0 && quantizer[at - 1] != '.') continue;
    const char* begin = quantizer.data() + at + kBlocks.size();
    const char* end = quantizer.data() + quantizer.size();
    int block = -1;
    const auto [rest, status] = std::from_chars(begin, end, block);
    if (status == std::errc() && (rest == end || *rest == '.')) return block;
  }
  return -1;
}

}  // namespace

QuantizerFilter::QuantizerFilter(NameFilter filter, const std::string& component)
    : filter_(choose(filter, component)), pattern_(pattern_of(filter_)) {}

bool QuantizerFilter::disables(const std::string& quantizer) const {
  const bool found = pattern_.search(quantizer);
  switch (filter_) {
    case NameFilter::qwen: {
      const int block = found ? block_of(quantizer) : -1;
      return block < 2 || block >= 58;
    }
    case NameFilter::ltx2_video_decoder:
    case NameFilter::wan_vae:
      return !found;
    default:
      return found;
  }
}

}  // namespace ditq
