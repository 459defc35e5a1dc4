#include "pipeline/calibrate.h"

#include "base/error.h"

namespace ditq {

CalibrateResult calibrate(const CalibrateRequest& request) {
  throw Error(ErrorCode::unsupported, "calibration is not supported yet",
              {.path = request.state_file});
}

}  // namespace ditq
