set(files create.cpp tap.cpp tensor.cpp weights.cpp)
