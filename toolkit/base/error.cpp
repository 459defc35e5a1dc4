#include "base/error.h"

#include <cstdio>
#include <cstdlib>
#include <utility>

#include "base/printable.h"

namespace ditq {

ExitCode exit_code(ErrorCode code) {
  switch (code) {
    case ErrorCode::usage:
    case ErrorCode::bad_pattern:
      return ExitCode::usage;
    case ErrorCode::check_failed:
      return ExitCode::check_failed;
    case ErrorCode::unsupported:
    case ErrorCode::engine_missing:
      return ExitCode::unsupported;
    case ErrorCode::storage:
    case ErrorCode::out_of_memory:
    case ErrorCode::device:
    case ErrorCode::output_busy:
      return ExitCode::resources;
    case ErrorCode::interrupted:
      return ExitCode::interrupted;
    default:
      return ExitCode::bad_input;
  }
}

std::string_view name(ErrorCode code) {
  switch (code) {
#define DITQ_NAME(value) \
  case ErrorCode::value: \
    return #value
    DITQ_NAME(usage);
    DITQ_NAME(check_failed);
    DITQ_NAME(file_not_found);
    DITQ_NAME(file_unreadable);
    DITQ_NAME(file_changed);
    DITQ_NAME(storage);
    DITQ_NAME(out_of_memory);
    DITQ_NAME(unsupported);
    DITQ_NAME(device);
    DITQ_NAME(interrupted);
    DITQ_NAME(json_syntax);
    DITQ_NAME(json_too_deep);
    DITQ_NAME(json_too_large);
    DITQ_NAME(json_type);
    DITQ_NAME(yaml_syntax);
    DITQ_NAME(bad_pattern);
    DITQ_NAME(pattern_too_costly);
    DITQ_NAME(header_too_small);
    DITQ_NAME(header_too_large);
    DITQ_NAME(header_syntax);
    DITQ_NAME(duplicate_tensor);
    DITQ_NAME(unknown_dtype);
    DITQ_NAME(bad_shape);
    DITQ_NAME(bad_offsets);
    DITQ_NAME(missing_tensor);
    DITQ_NAME(missing_shard);
    DITQ_NAME(bad_index);
    DITQ_NAME(shard_outside);
    DITQ_NAME(ambiguous_shards);
    DITQ_NAME(index_disagrees);
    DITQ_NAME(zip_structure);
    DITQ_NAME(pickle_opcode);
    DITQ_NAME(pickle_global);
    DITQ_NAME(pickle_structure);
    DITQ_NAME(bad_scale);
    DITQ_NAME(scale_without_weight);
    DITQ_NAME(weight_without_scale);
    DITQ_NAME(wrong_dtype);
    DITQ_NAME(wrong_shape);
    DITQ_NAME(not_a_number);
    DITQ_NAME(unknown_family);
    DITQ_NAME(family_mismatch);
    DITQ_NAME(bad_config);
    DITQ_NAME(not_quantized);
    DITQ_NAME(wrong_quant_method);
    DITQ_NAME(output_exists);
    DITQ_NAME(output_overlaps);
    DITQ_NAME(output_busy);
    DITQ_NAME(bad_checksums);
    DITQ_NAME(unfair);
    DITQ_NAME(bad_tokenizer);
    DITQ_NAME(bad_text);
    DITQ_NAME(bad_picture);
    DITQ_NAME(bad_kernel_table);
    DITQ_NAME(engine_missing);
#undef DITQ_NAME
  }
  return "unknown";
}

Error::Error(ErrorCode code, std::string sentence, ErrorFacts facts)
    : code_(code), sentence_(std::move(sentence)), facts_(std::move(facts)) {
  // A hostile file may hold names of megabytes; lists of what is wrong are as long as they are.
  constexpr std::size_t kLongestName = 1000;
  constexpr std::size_t kLongestText = 100'000;
  message_ = printable(sentence_, kLongestText);
  const auto add = [this](std::string_view before, const std::string& fact, std::size_t limit,
                          std::string_view behind = "") {
    if (!fact.empty()) message_.append(before).append(printable(fact, limit)).append(behind);
  };
  add(": tensor '", facts_.tensor, kLongestName, "'");
  add(": expected ", facts_.expected, kLongestText);
  add(facts_.expected.empty() ? ": found " : ", found ", facts_.found, kLongestText);
  add(" (", facts_.path, kLongestText, ")");
  add(". ", facts_.advice, kLongestText);
}

void assert_failed(const char* condition, const char* file, int line) {
  std::fprintf(stderr, "ditq: internal error: %s does not hold (%s:%d)\n", condition, file, line);
  std::abort();
}

}  // namespace ditq
