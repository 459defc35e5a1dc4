set(files png.cpp)
