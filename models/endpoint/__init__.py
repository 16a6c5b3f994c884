"""generate.engine = "openai": a model behind any server of OpenAI's chat protocol (vLLM serve, SGLang, Ray Serve, a vendor).

answers   what a server's answer means: an answer, something that passes, a question refused, or the end
address   where a server is, and how patiently it is asked
client    asks: so many questions at once, with patience; nothing of it is about videos
pictures  frames as JPEG or PNG
messages  frames and questions as the messages of a chat
engine    the VideoLLM of models/base.py
"""
