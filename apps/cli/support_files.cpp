#include "support_files.h"

#include <filesystem>

#include "base/error.h"
#include "validate/child.h"

namespace ditq {

namespace fs = std::filesystem;

std::string support_file(const std::string& name, const std::string& flag) {
  const fs::path bin = fs::path(running_program()).parent_path();
  const fs::path installed = (bin / "../share/ditq/support").lexically_normal();
  const fs::path source = (bin / "../../../docs/support").lexically_normal();
  for (const fs::path& folder : {source, installed}) {
    if (fs::exists(folder / name)) return (folder / name).string();
  }
  throw Error(ErrorCode::file_not_found, "the documents about supported checkpoints are not there",
              {.path = (installed / name).string(), .advice = flag + " names another place"});
}

}  // namespace ditq
