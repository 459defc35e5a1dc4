set(files bars.cpp
  cases.cpp
  fields.cpp
  matrix.cpp
  record.cpp)
