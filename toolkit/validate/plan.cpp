#include "validate/plan.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/file.h"
#include "validate/child.h"
#include "validate/make_record.h"

namespace ditq {
namespace {

using Words = std::vector<std::string>;

Words joined(Words words, const Words& more) {
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

/// Builds the stages one after the other; later ones ask for what earlier ones leave.
class Planner {
 public:
  Planner(const ValidateRequest& request, const WorkFolder& work, StageRunner& runner)
      : request_(request), work_(work), runner_(runner) {}

  std::vector<Stage> plan() {
    export_ = request_.modelopt_hf_dir;
    checkpoint_ = request_.modelopt_backbone_ckpt;
    components_ = request_.components;
    baseline();
    if (!request_.format.empty()) quantize();
    if (!export_.empty()) build();
    doctor();
    compare();
    if (!request_.ground_truth.empty()) consistency();
    if (request_.bench) bench();
    report();
    record();
    return std::move(stages_);
  }

 private:
  void baseline();
  void quantize();
  void build();
  void doctor();
  void compare();
  void consistency();
  void bench();
  void report();
  void record();

  std::string file(const std::string& stage, const std::string& name) const {
    return work_ / (stage + "/" + name);
  }
  Stage& add(Stage stage) {
    for (const StageCommand& command : stage.commands) {
      commands_.push_back("ditq " + shell_words(command.arguments));
    }
    return stages_.emplace_back(std::move(stage));
  }
  Words prompt_flags() const;
  Words candidate_flags(const std::string& weights_flag) const;
  Words candidate_inputs() const;
  std::string candidate_transformer() const;
  std::map<std::string, std::string> on_this_machine() const {
    return {{"machine", request_.machine}};
  }

  const ValidateRequest& request_;
  const WorkFolder& work_;
  StageRunner& runner_;
  std::vector<Stage> stages_;
  std::vector<std::string> commands_;
  std::string export_;      ///< ModelOpt's export, given or made; empty: none
  std::string checkpoint_;  ///< its torch checkpoint
  std::map<std::string, std::string> components_;
};

/// The first prompt alone is enough to see that the pipeline runs, twice alike, and draws something.
void Planner::baseline() {
  const std::string json = file("baseline", "baseline.json");
  const std::string examined = file("baseline", "doctor.json");
  add({.name = "baseline",
       .title = "the BF16 pipeline loads, is sound, and draws the same picture twice",
       .commands = {{joined({"compare", "--model-path", request_.model_path, "--prompt",
                             request_.first_prompt, "--seed", std::to_string(request_.seed),
                             "--require", "max_abs<=0", "--output-json", json, "--save-output-dir",
                             file("baseline", "pictures")},
                            request_.shared_flags),
                     file("baseline", "summary.json")},
                    {{"doctor", request_.model_path + "/transformer", "--json"}, examined}},
       .inputs = joined({request_.model_path}, request_.shared_inputs),
       .conditions = on_this_machine(),
       .finish = [json, examined] {
         const Json report = read_json(examined);
         return joined(
             joined(baseline_defects(read_json(json), json), doctor_problems(report, examined)),
             quantized_baseline(report, examined));
       }});
}

void Planner::quantize() {
  export_ = file("quantize", "hf");
  const std::string saved = file("quantize", "ckpt");
  checkpoint_ = saved + "/transformer.pt";
  add({.name = "quantize",
       .title = "post-training quantization, as ModelOpt does it",
       .commands = {{joined({"quantize", "--override-model-path", request_.model_path, "--format",
                             request_.format, "--hf-ckpt-dir", export_,
                             "--quantized-torch-ckpt-save-path", saved, "--state-file",
                             file("quantize", "calibration.safetensors"), "--overwrite"},
                            request_.quantize_flags),
                     file("quantize", "summary.json")}},
       .inputs = joined({request_.model_path}, request_.quantize_inputs),
       .conditions = on_this_machine(),
       .finish = {}});
}

void Planner::build() {
  const bool fp8 = !checkpoint_.empty() && request_.format != "fp4";
  const std::string target = file("build", "transformer");
  Words words = {fp8 ? "build-fp8" : "build-nvfp4",
                 "--modelopt-hf-dir",
                 export_,
                 "--base-transformer-dir",
                 request_.model_path,
                 "--output-dir",
                 target,
                 "--overwrite"};
  Words inputs = joined({export_, request_.model_path + "/transformer"}, request_.build_inputs);
  if (fp8) {
    words = joined(words, {"--modelopt-backbone-ckpt", checkpoint_});
    inputs.push_back(checkpoint_);
  }
  components_["transformer"] = target;
  add({.name = "build",
       .title = "the export becomes a checkpoint that SGLang and ditq load",
       .commands = {{joined(words, request_.build_flags), file("build", "summary.json")}},
       .inputs = inputs,
       .conditions = {},
       .finish = {}});
}

std::string Planner::candidate_transformer() const {
  const auto found = components_.find("transformer");
  return found == components_.end() ? request_.transformer_weights_path : found->second;
}

Words Planner::candidate_inputs() const {
  Words out;
  for (const auto& [component, path] : components_) out.push_back(path);
  if (!request_.transformer_weights_path.empty()) out.push_back(request_.transformer_weights_path);
  return out;
}

Words Planner::candidate_flags(const std::string& weights_flag) const {
  Words out;
  for (const auto& [component, path] : components_) {
    out = joined(out, {"--candidate-component-path", component + "=" + path});
  }
  if (!request_.transformer_weights_path.empty()) {
    out = joined(out, {weights_flag, request_.transformer_weights_path});
  }
  return out;
}

void Planner::doctor() {
  const std::string transformer = candidate_transformer();
  if (transformer.empty())
    return;  // The candidate is another component: no transformer to examine.
  const std::string json = file("doctor", "doctor.json");
  add({.name = "doctor",
       .title = "the checkpoint is what it says, layer by layer against BF16",
       .commands =
           {{{"doctor", transformer, "--base", request_.model_path + "/transformer", "--json"},
             json},
            {{"inspect", transformer, "--layers", "--json"}, file("doctor", "inspect.json")}},
       .inputs = {transformer, request_.model_path + "/transformer"},
       .conditions = on_this_machine(),
       .finish = [json] { return doctor_problems(read_json(json), json); }});
}

Words Planner::prompt_flags() const {
  Words out;
  if (!request_.prompts_file.empty()) out = {"--prompts-file", request_.prompts_file};
  for (const std::string& prompt : request_.prompts) out = joined(out, {"--prompt", prompt});
  if (!request_.seeds.empty()) return joined(out, {"--seeds", request_.seeds});
  return joined(out, {"--seed", std::to_string(request_.seed)});
}

void Planner::compare() {
  const std::string json = file("compare", "compare.json");
  Words words = joined(joined({"compare", "--model-path", request_.model_path},
                              candidate_flags("--candidate-transformer-path")),
                       joined(prompt_flags(), request_.shared_flags));
  if (!request_.require.empty()) words = joined(words, {"--require", request_.require});
  if (!request_.clip_image_encoder.empty()) {
    words = joined(words, {"--clip-image-encoder", request_.clip_image_encoder});
  }
  words = joined(words, {"--output-json", json, "--save-output-dir", file("compare", "pictures")});
  const Words inputs =
      joined(joined({request_.model_path, request_.prompts_file, request_.clip_image_encoder},
                    request_.shared_inputs),
             candidate_inputs());
  add({.name = "compare",
       .title = "the candidate against BF16, step by step and picture by picture",
       .commands = {{words, file("compare", "summary.json")}},
       .inputs = inputs,
       .conditions = on_this_machine(),
       .finish = [json] { return gate_shortfalls(read_json(json), json); }});
}

void Planner::consistency() {
  const std::string json = file("consistency", "consistency.json");
  const std::string picture = file("compare", "pictures/candidate.png");
  Words words = {"compare",     "--reference", request_.ground_truth,
                 "--candidate", picture,       "--output-json",
                 json,          "--require",   request_.ground_truth_require};
  if (!request_.clip_image_encoder.empty()) {
    words = joined(words, {"--clip-image-encoder", request_.clip_image_encoder});
  }
  add({.name = "consistency",
       .title = "the candidate's picture against the stored one of the case",
       .commands = {{words, file("consistency", "summary.json")}},
       .inputs = {request_.ground_truth, picture, request_.clip_image_encoder},
       .conditions = {},
       .finish = [json] { return gate_shortfalls(read_json(json), json); }});
}

void Planner::bench() {
  Words words =
      joined(joined({"bench", "--model-path", request_.model_path},
                    candidate_flags("--candidate-transformer-weights-path")),
             {"--prompt", request_.first_prompt, "--seed", std::to_string(request_.seed)});
  words = joined(joined(words, request_.shared_flags), request_.bench_flags);
  words = joined(
      words, {"--output-dir", file("bench", "runs"), "--output-json", file("bench", "bench.json")});
  add({.name = "bench",
       .title = "how fast the candidate is against BF16, everything else equal",
       .commands = {{words, file("bench", "summary.json")}},
       .inputs = joined(joined({request_.model_path}, request_.shared_inputs), candidate_inputs()),
       .conditions = on_this_machine(),
       .finish = {}});
}

void Planner::report() {
  Words words = {"report", "--title", request_.title, "--comparison",
                 file("compare", "compare.json")};
  Words inputs = {file("compare", "compare.json"), file("compare", "pictures")};
  const auto take = [&](const char* flag, const std::string& path) {
    words = joined(words, {flag, path});
    inputs.push_back(path);
  };
  if (!candidate_transformer().empty()) {
    take("--doctor", file("doctor", "doctor.json"));
    take("--inspect", file("doctor", "inspect.json"));
  }
  if (request_.bench) take("--bench", file("bench", "bench.json"));
  words = joined(words, {"--output", file("report", "report.html")});
  add({.name = "report",
       .title = "one page to look at",
       .commands = {{words, file("report", "summary.json")}},
       .inputs = inputs,
       .conditions = {},
       .finish = {}});
}

void Planner::record() {
  const bool examined = !candidate_transformer().empty();
  RecordSources sources{
      .baseline = file("baseline", "baseline.json"),
      .compare = file("compare", "compare.json"),
      .consistency = request_.ground_truth.empty() ? "" : file("consistency", "consistency.json"),
      .doctor = examined ? file("doctor", "doctor.json") : "",
      .bench = request_.bench ? file("bench", "bench.json") : "",
      .candidate = components_,
      .commands = commands_};
  if (!request_.transformer_weights_path.empty()) {
    sources.candidate["transformer"] = request_.transformer_weights_path;
  }
  Words inputs = {sources.baseline, sources.compare, request_.model_path};
  for (const std::string& one : {sources.consistency, sources.doctor, sources.bench}) {
    if (!one.empty()) inputs.push_back(one);
  }
  Stage stage{.name = "record",
              .title = "what was validated, exactly",
              .commands = {},
              .inputs = joined(inputs, candidate_inputs()),
              .conditions = {{"base_model", request_.base_model},
                             {"case", request_.case_id},
                             {"commands", fmt::format("{}", fmt::join(commands_, "\n"))},
                             {"flag", request_.flag},
                             {"machine", request_.machine},
                             {"repository", request_.repository}},
              .finish = [this_request = request_, sources, path = file("record", "record.json"),
                         &runner = runner_] {
                const SupportRecord record = make_record(this_request, sources, runner.digests());
                write_text(path, dump_json(to_json(record), {.indent = 2}) + "\n");
                return Words{};  // Whatever is wrong, an earlier stage has said.
              }};
  add(std::move(stage));
}

}  // namespace

void require_one_candidate(const ValidateRequest& request) {
  const bool taken = !request.components.empty() || !request.transformer_weights_path.empty();
  const int ways = (request.format.empty() ? 0 : 1) + (request.modelopt_hf_dir.empty() ? 0 : 1) +
                   (taken ? 1 : 0);
  if (ways == 1) return;
  throw Error(
      ErrorCode::usage, ways == 0 ? "there is no candidate" : "there are several candidates",
      {.expected = "one of --format (quantize the pipeline), --modelopt-hf-dir (take an export), "
                   "--transformer-path and the like (take a checkpoint)"});
}

std::vector<Stage> plan_validation(const ValidateRequest& request,
                                   const WorkFolder& work,
                                   StageRunner& runner) {
  return Planner(request, work, runner).plan();
}

}  // namespace ditq
