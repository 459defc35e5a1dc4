# Third-party libraries from Debian's static archives, for programs that travel: those archives whose code may stand in a
# shared library. Debian builds those of libpng, libjpeg and zlib without -fPIC and has none of {fmt} and simdjson;
# scripts/package takes these five along as shared libraries.

# use_archive(TARGET FILE): TARGET, an imported library, becomes the archive FILE of the same package.
function(use_archive target file)
  find_library(DITQ_${file}_ARCHIVE NAMES "${file}")
  if(NOT DITQ_${file}_ARCHIVE)
    message(FATAL_ERROR "DITQ_STATIC_LIBRARIES needs ${file}")
  endif()
  get_target_property(kind ${target} TYPE)
  if(kind STREQUAL "INTERFACE_LIBRARY")
    set_target_properties(${target} PROPERTIES INTERFACE_LINK_LIBRARIES "${DITQ_${file}_ARCHIVE}")
    return()
  endif()
  get_target_property(configurations ${target} IMPORTED_CONFIGURATIONS)
  set(suffixes "")
  if(configurations)
    list(TRANSFORM configurations PREPEND "_" OUTPUT_VARIABLE suffixes)
  endif()
  foreach(suffix "" ${suffixes})
    set_target_properties(${target} PROPERTIES "IMPORTED_LOCATION${suffix}" "${DITQ_${file}_ARCHIVE}")
  endforeach()
endfunction()
