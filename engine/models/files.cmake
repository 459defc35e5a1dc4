set(files vae/autoencoder_kl.cpp encoders/t5.cpp encoders/clip_text.cpp flux1.cpp flux1_steps.cpp)
