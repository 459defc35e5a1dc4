#pragma once
// The one exception of ditq. Input from outside raises Error; a broken promise inside stops in DITQ_ASSERT.

#include <exception>
#include <string>
#include <string_view>

namespace ditq {

/// What the process returns to its caller (command-line contract).
enum class ExitCode {
  done = 0,
  check_failed = 1,  ///< a check ran and failed: thresholds, doctor findings
  usage = 2,         ///< the command line is wrong
  bad_input = 3,     ///< wrong content, or input that is not there
  unsupported = 4,   ///< valid, but not supported here
  resources = 5,     ///< device, memory or storage
  interrupted = 130,
};

/// One value per rule that can be broken, grouped by room.
enum class ErrorCode {
  // base
  usage,           ///< a flag, or a combination of flags, that cannot be
  check_failed,    ///< a stated bar was missed
  file_not_found,  ///< a file or folder that must exist does not
  file_unreadable,  ///< exists, but cannot be read (a folder where a file is expected, links that lead in a circle)
  file_changed,        ///< changed while it was read
  storage,             ///< cannot be read or written: no space, no permission, I/O error
  out_of_memory,       ///< an allocation or a mapping failed
  unsupported,         ///< valid, but not supported here
  device,              ///< a device failed or is not there
  interrupted,         ///< SIGINT or SIGTERM
  json_syntax,         ///< not JSON
  json_too_deep,       ///< nested deeper than the limit
  json_too_large,      ///< longer than the limit
  json_type,           ///< a JSON value of another type than expected, or missing
  yaml_syntax,         ///< not YAML
  bad_pattern,         ///< not a regular expression
  pattern_too_costly,  ///< a regular expression that exceeds the match limit
  // format
  header_too_small,  ///< the file is shorter than its fixed header
  header_too_large,  ///< the header is longer than the file or the limit
  header_syntax,     ///< the header is not what the container prescribes
  duplicate_tensor,  ///< two tensors of one name
  unknown_dtype,     ///< a dtype the container does not know
  bad_shape,         ///< rank or product of a shape out of bounds
  bad_offsets,  ///< a byte range that does not fit its shape, overlaps, leaves a hole or the file
  missing_tensor,    ///< a tensor that must be there is not
  missing_shard,     ///< the index names a shard that is not there
  bad_index,         ///< the index is not usable
  shard_outside,     ///< the index names a file outside the checkpoint's folder
  ambiguous_shards,  ///< several shards and no index, or none
  index_disagrees,   ///< index and shard disagree about a tensor
  zip_structure,     ///< a .pt file that is no usable zip archive
  pickle_opcode,     ///< a pickle opcode that torch.save does not write for data
  pickle_global,     ///< a pickle that names code to call
  pickle_structure,  ///< a pickle whose stack or memo does not add up
  // quant
  bad_scale,             ///< a scale that is zero, negative, NaN or infinite
  scale_without_weight,  ///< a scale whose weight is not there
  weight_without_scale,  ///< a quantized weight whose scale is not there
  wrong_dtype,           ///< a tensor of another dtype than its role prescribes
  wrong_shape,           ///< a tensor of another shape than its role prescribes
  not_a_number,          ///< a value that must be finite is not
  // family
  unknown_family,   ///< no family matches
  family_mismatch,  ///< tensors or config contradict the family; the message lists all problems
  bad_config,       ///< a config value out of range or contradictory
  // convert
  not_quantized,       ///< no quantization_config where one is needed
  wrong_quant_method,  ///< quant_method or quant_algo is not what this converter reads
  output_exists,       ///< the output is there and --overwrite was not given
  output_overlaps,     ///< the output lies inside an input, or an input inside the output
  output_busy,         ///< another run is writing the same output
  bad_checksums,       ///< a checksums file that is none
  // perf
  unfair,  ///< two results whose settings differ where a comparison needs them equal
  // text
  bad_tokenizer,  ///< tokenizer files that contradict each other or are not usable
  bad_text,       ///< text that is not UTF-8
  // media
  bad_picture,  ///< a picture that cannot be read or written
  // engine
  engine_missing,    ///< the engine library is not there or does not load
  bad_kernel_table,  ///< a table of a GPU's kernels with a line that is none
};

/// The exit code that a code stands for.
ExitCode exit_code(ErrorCode code);

/// The code's name as it appears in JSON and tests, such as "bad_offsets".
std::string_view name(ErrorCode code);

/// The facts of an error; empty ones do not apply.
struct ErrorFacts {
  std::string path;      ///< file or folder
  std::string tensor;    ///< tensor or layer
  std::string expected;  ///< what the rule asks for
  std::string found;     ///< what was there
  std::string advice;    ///< what to do about it
};

/// Carries a code, a sentence and the facts. what() reads
/// "sentence: tensor 'x': expected …, found … (path). Advice".
/// Control characters in it are spelled out (printable.h), names of more than 1000 bytes cut.
class Error : public std::exception {
 public:
  Error(ErrorCode code, std::string sentence, ErrorFacts facts = {});

  const char* what() const noexcept override { return message_.c_str(); }
  ErrorCode code() const { return code_; }
  const std::string& sentence() const { return sentence_; }
  const ErrorFacts& facts() const { return facts_; }

 private:
  ErrorCode code_;
  std::string sentence_;
  ErrorFacts facts_;
  std::string message_;
};

[[noreturn]] void assert_failed(const char* condition, const char* file, int line);

/// Stops the program when a promise between functions of ditq is broken; never used for input.
#define DITQ_ASSERT(condition) \
  ((condition) ? static_cast<void>(0) : ::ditq::assert_failed(#condition, __FILE__, __LINE__))

}  // namespace ditq
