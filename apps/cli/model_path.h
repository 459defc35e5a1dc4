#pragma once
// Where a pipeline is: a folder, or a repository id that the local Hugging Face cache holds. Nothing is downloaded.

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace ditq {

/// The folder that `path` means. "owner/name" without such a folder is looked up in the Hugging Face cache:
/// HF_HUB_CACHE, else HF_HOME/hub, else XDG_CACHE_HOME/huggingface/hub, else ~/.cache/huggingface/hub, there
/// models--owner--name/snapshots/<revision that refs/main names>. `flag` names the option in errors.
/// Errors: file_not_found; for a repository id its advice is the command that downloads it.
std::string resolve_model_path(const std::string& path, const std::string& flag);

/// Names that a pipeline's model_index.json lists; nothing where the folder has no such file, which the engine judges.
/// Errors: as read_json.
std::optional<std::vector<std::string>> component_names(const std::string& model_path);

/// Refuses an override of a component that the pipeline's model_index.json does not list; a folder without that file is
/// left to the engine to judge. Errors: usage, with the nearest component or flag.
void check_components(const std::string& model_path,
                      const std::map<std::string, std::string>& components);

}  // namespace ditq
