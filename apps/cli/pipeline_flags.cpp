#include "pipeline_flags.h"

#include "base/byte_size.h"
#include "base/error.h"

namespace ditq {

void add_pipeline_flags(Flags& flags, PipelineFlags& target) {
  flags.group("Machine");
  flags
      .add("jobs", target.jobs, "N",
           "Threads that read, compute and write; the output is the same for any number (two a "
           "core, 8 to 16)")
      .at_least(1);
  flags.add("max-memory", target.max_memory, "BYTES",
            "Most resident memory to take, such as 512MiB or 1GB; fewer threads run where it is "
            "short (220MiB)");
}

PipelineLimits parse_pipeline_flags(const PipelineFlags& flags) {
  PipelineLimits limits{.jobs = flags.jobs};
  if (flags.max_memory.empty()) return limits;
  const auto bytes = parse_byte_size(flags.max_memory);
  if (!bytes || *bytes == 0) {
    throw Error(ErrorCode::usage, "--max-memory is no number of bytes",
                {.expected = "a number, with a unit such as MiB or GB where it is not bytes",
                 .found = "'" + flags.max_memory + "'"});
  }
  limits.max_memory = *bytes;
  return limits;
}

}  // namespace ditq
