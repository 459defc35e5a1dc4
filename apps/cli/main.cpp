// ditq: the only place where errors are caught and become exit codes.

#include <exception>
#include <filesystem>
#include <new>
#include <string>
#include <system_error>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "commands.h"

namespace {

/// EX_SOFTWARE of sysexits.h: an exception that nobody meant to throw. A bug, so none of the contract's codes.
constexpr int kBug = 70;

int run(const ditq::Arguments& arguments) {
  using ditq::ExitCode;
  try {
    return static_cast<int>(ditq::run_command_line(arguments));
  } catch (const ditq::Error& error) {
    ditq::log_error(error.what());
    return static_cast<int>(ditq::exit_code(error.code()));
  } catch (const std::bad_alloc&) {
    ditq::log_error("out of memory");
    return static_cast<int>(ExitCode::resources);
  } catch (const std::filesystem::filesystem_error& error) {
    ditq::log_error(error.what());
    const bool bad_path = error.code() == std::errc::too_many_symbolic_link_levels ||
                          error.code() == std::errc::filename_too_long;
    return static_cast<int>(bad_path ? ExitCode::bad_input : ExitCode::resources);
  } catch (const std::exception& error) {
    ditq::log_error(std::string("internal error: ") + error.what());
    return kBug;
  }
}

}  // namespace

int main(int argc, char** argv) {
  ditq::install_interrupt_handler();
  return run(ditq::Arguments(argv + 1, argv + argc));
}
