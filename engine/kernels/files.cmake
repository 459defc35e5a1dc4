set(files cuda_device.cpp gpu_state.cpp)
