"""What runs models: one module for each engine, all behind `services.embedding.encoder`."""
