set(files
  base_checks.cpp
  comparison.cpp
  doctor.cpp
  findings.cpp
  layer.cpp
  machine.cpp
  report.cpp
  self_checks.cpp
  structure.cpp)
# Sums over rows of weights: vector code, which may add in another order.
set_source_files_properties(doctor/comparison.cpp doctor/layer.cpp PROPERTIES
  COMPILE_FLAGS "-O3 -fassociative-math -fno-signed-zeros -fno-trapping-math")
