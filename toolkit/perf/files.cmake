set(files bench_reading.cpp bench_report.cpp comparison.cpp fairness.cpp perf_file.cpp perf_settings.cpp samples.cpp)
