set(files cuda_device.cpp)
