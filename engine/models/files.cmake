set(files vae/autoencoder_kl.cpp vae/tiled_decode.cpp encoders/t5.cpp encoders/clip_layer.cpp encoders/clip_text.cpp encoders/clip_vision.cpp flux1.cpp flux1_steps.cpp)
