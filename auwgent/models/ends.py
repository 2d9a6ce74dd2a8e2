"""Maps every provider's word for how an answer ended to one of ours.

Words are those of OpenAI (chat and Responses), Anthropic, Gemini, Bedrock, Cohere, Mistral, DeepSeek, Zhipu, Ollama,
vLLM, SGLang, TGI and llama.cpp.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

End = Literal[
    "stop",  # the model was done
    "tool_calls",  # it waits for the results of its calls
    "length",  # cut off: at max_tokens, or where its window is full
    "filtered",  # held back or cut off by a content filter
    "refused",  # the model, or a guard around it, would not answer
    "malformed",  # it wrote a call that the provider could not read, and threw away
    "paused",  # the provider paused a long answer, and wants to be asked to go on
    "broken",  # something failed in the middle of the answer
]

_WORDS: Mapping[End, str] = {
    "stop": """stop end_turn stop_sequence eos eos_token complete completed end done word finish_reason_unspecified
        load unload""",
    "tool_calls": "tool_calls tool_use tool_call function_call",
    "length": """length max_tokens max_output_tokens model_length model_context_window_exceeded max_length limit
        context_length_exceeded context_window_exceeded token_limit compaction repetition""",
    "filtered": """content_filter content_filtered filtered safety recitation language other blocklist
        prohibited_content spii image_safety image_prohibited_content image_recitation image_other no_image escalation
        model_armor jailbreak blocked error_toxic toxic sensitive guardrail_intervened moderation""",
    "refused": "refusal refused",
    "malformed": """malformed_function_call malformed_response malformed_model_output malformed_tool_use
        unexpected_tool_call missing_thought_signature too_many_tool_calls""",
    "paused": "pause_turn",
    "broken": """error network_error insufficient_system_resource abort aborted cancelled canceled user_cancel timeout
        failed overloaded error_limit unknown_error""",
}
ENDS: Mapping[str, End] = {word: end for end, words in _WORDS.items() for word in words.split()}


def end_of(word: str) -> End | None:
    """Return what a provider's word means; None for one that is not known."""
    return ENDS.get(word.lower().replace("-", "_"))


class ProviderEnd:
    """What a provider says of the end of one answer, found in what it sent, in any wire format.

    `word` is its own word for the end, `details` what it says about it; `is_gemini` whether it speaks Gemini's format.
    """

    def __init__(self) -> None:
        self.word = ""
        self.details = ""
        self.is_gemini = False
        self._refusals: list[str] = []

    def hear(self, sent: Any) -> None:
        """Take in an event of a stream, or a whole answer."""
        if not isinstance(sent, Mapping):
            return
        self.is_gemini |= "candidates" in sent
        for word, details in _ends_in(sent):
            if isinstance(word, str) and word:
                self.word = word
                self.details = details if isinstance(details, str) else ""
        self._refusals += [text for text in _refusals_in(sent) if isinstance(text, str) and text]

    def refusals(self) -> list[str]:
        """Return the pieces of a refusal that came since the last time."""
        new, self._refusals = self._refusals, []
        return new

    @property
    def said(self) -> str:
        """The provider's word and what it says about it."""
        return ": ".join(part for part in (self.word, self.details) if part)

    @property
    def end(self) -> End | None:
        """What the word means; None where none came that is known."""
        return end_of(self.word)


def _ends_in(sent: Mapping[str, Any]) -> Iterator[tuple[Any, Any]]:
    """Words for an end with what is said about them, in whatever wire format."""
    for choice in _maps(sent.get("choices")):  # OpenAI's chat
        native = choice.get("native_finish_reason")  # OpenRouter's, of the provider behind it
        exact = isinstance(native, str) and end_of(native) in ("filtered", "refused", "malformed")
        failure = _map(choice.get("error")).get("message")
        yield native if exact else choice.get("finish_reason"), failure or _filters(choice)
    for candidate in _maps(sent.get("candidates")):  # Gemini's
        word = candidate.get("nativeFinishReason") or candidate.get("finishReason")
        yield word, candidate.get("finishMessage")
    blocked = _map(sent.get("promptFeedback"))
    if reason := blocked.get("blockReason"):
        yield "blocked", blocked.get("blockReasonMessage") or reason
    kind, delta = sent.get("type"), _map(sent.get("delta"))
    if kind == "message_delta":  # Anthropic's
        yield _claude_end(delta)
    elif kind == "message":
        yield _claude_end(sent)
    elif kind == "message-end":  # Cohere's
        yield delta.get("finish_reason"), delta.get("error")
    if "stopReason" in sent:  # Bedrock's
        yield sent["stopReason"], ""
    elif "choices" not in sent:
        yield sent.get("done_reason") or sent.get("finish_reason"), ""  # Ollama's; Cohere's
    response = sent if sent.get("object") == "response" else _map(sent.get("response"))
    if response.get("status") == "incomplete":  # OpenAI's Responses
        yield _map(response.get("incomplete_details")).get("reason") or "length", ""
    elif response.get("status") in ("failed", "cancelled", "completed"):
        yield response["status"], _map(response.get("error")).get("message")


def _claude_end(holder: Mapping[str, Any]) -> tuple[Any, Any]:
    details = _map(holder.get("stop_details"))
    return holder.get("stop_reason"), details.get("explanation") or details.get("category")


def _filters(choice: Mapping[str, Any]) -> str:
    """Azure's names for what was filtered."""
    results = _map(choice.get("content_filter_results"))
    return ", ".join(name for name, result in results.items() if _map(result).get("filtered"))


def _refusals_in(sent: Mapping[str, Any]) -> Iterator[Any]:
    for choice in _maps(sent.get("choices")):
        yield (_map(choice.get("delta")) or _map(choice.get("message"))).get("refusal")
    if sent.get("type") == "response.refusal.delta":
        yield sent.get("delta")
    if sent.get("object") == "response":
        for item in _maps(sent.get("output")):
            for part in _maps(item.get("content")):
                yield part.get("refusal")


def _map(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _maps(value: Any) -> list[Mapping[str, Any]]:
    """Return the first of a list, where it is an object: no more than one answer is asked for."""
    found = value if isinstance(value, list) else []
    return [one for one in found if isinstance(one, Mapping)]
