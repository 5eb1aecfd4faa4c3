"""A bot that says what was said to it, word by word, and shows the pictures that it was sent."""

import asyncio

import chainlit


@chainlit.on_message
async def answer(asked: chainlit.Message):
    told = chainlit.Message(content="You said:")
    for word in asked.content.split():
        await told.stream_token(f" {word}")
        await asyncio.sleep(0.1)
    told.elements = [chainlit.Image(name="picture", path=sent.path) for sent in asked.elements]
    await told.update()
