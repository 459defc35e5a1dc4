#include "pipeline/unify_svdquant.h"

#include "base/error.h"

namespace ditq {

void unify_svdquant(const UnifySvdquantRequest& request) {
  throw Error(ErrorCode::unsupported, "joint low-rank branches are not supported yet",
              {.path = request.output});
}

}  // namespace ditq
