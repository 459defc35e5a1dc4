#pragma once
// SIGINT and SIGTERM become an Error at the next safe point, so that destructors clean up.

namespace ditq {

/// Installs the handlers; a second signal ends the process at once.
void install_interrupt_handler();

/// Raises Error(interrupted) when a signal has arrived. Called between tensors and between denoising steps.
void check_interrupt();

}  // namespace ditq
