set(files
  added_tokens.cpp byte_bpe.cpp charsmap.cpp clip_text.cpp clip_tokenizer.cpp lossy_float.cpp sentencepiece_model.cpp t5_sentencepiece.cpp
  t5_tokenizer.cpp tokenizer.cpp tokenizer_config.cpp tokenizer_files.cpp unicode.cpp unigram.cpp)
