# A room is one folder with one job. ditq_room(format DEPENDS base) declares it and its arrow: the list of those
# lines is the architecture, and tools/check_arrows.py compares it with the #includes. The room's sources stand in
# <room>/files.cmake. Rooms are object libraries, collected into one shared library by the folder above.
function(ditq_room name)
  cmake_parse_arguments(room "" "" "DEPENDS;LIBRARIES" ${ARGN})
  include(${name}/files.cmake)
  list(TRANSFORM files PREPEND "${name}/")
  add_library(ditq_${name} OBJECT ${files})
  target_include_directories(ditq_${name} PUBLIC "${CMAKE_CURRENT_SOURCE_DIR}")
  target_link_libraries(ditq_${name} PRIVATE ditq_warnings ${room_LIBRARIES})
  set(rooms ${rooms} ditq_${name} PARENT_SCOPE)
endfunction()
