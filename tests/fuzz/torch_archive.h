#pragma once
// A zip archive in memory, for targets that damage it from the inside.

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "harness.h"

namespace ditq::fuzz {

/// Entries in file order.
using Archive = std::vector<std::pair<std::string, std::string>>;

/// The stored entries of a file, found by their local headers; empty for what is no such archive.
Archive unpack(std::string_view file);

/// A sound archive of stored entries; `wide` writes zip64 fields where they are not needed.
std::string pack(const Archive& archive, bool wide);

/// Walks all data of a value that the reader accepted.
void read_checkpoint(const std::string& path);

/// Mutates a pickle by whole opcodes: copies, drops, swaps or replaces them.
std::string mutated_pickle(const std::string& pickle, std::size_t limit, Random& random);

}  // namespace ditq::fuzz
