set(files dtype.cpp error.cpp file.cpp interrupt.cpp json.cpp log.cpp progress.cpp regex.cpp)
