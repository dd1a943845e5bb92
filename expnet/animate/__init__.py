"""From a portrait and speech to a talking video: motion, frames and files."""
