#pragma once
// Text from strangers, made fit for a terminal.

#include <cstddef>
#include <string>
#include <string_view>

namespace ditq {

/// The text with its control characters (C0 but tab and newline, DEL, C1) spelled as \xNN: a tensor's name must not be
/// able to move the cursor, recolour what follows or cut a message short. Well-formed UTF-8 stays as it is.
std::string printable(std::string_view text);

/// The same, with "…" instead of what goes beyond `limit` bytes; never cut within a character.
std::string printable(std::string_view text, std::size_t limit);

}  // namespace ditq
