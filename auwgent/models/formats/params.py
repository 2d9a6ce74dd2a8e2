"""Which params are LiteLLM's to understand: a model that has them in its table goes through it."""

_ARGUMENTS = """drop_params additional_drop_params allowed_openai_params api_version extra_query
    cache_control_injection_points input_cost_per_token output_cost_per_token"""
_OPENAIS = """reasoning_effort tool_choice parallel_tool_calls response_format user web_search_options functions
    function_call seed n logprobs top_logprobs logit_bias presence_penalty frequency_penalty service_tier modalities
    prediction audio verbosity metadata store safety_identifier prompt_cache_key"""
_BETAS = "context_management output_format output_config speed mcp_servers container cache_control"

ARGUMENTS = frozenset(_ARGUMENTS.split())  # of LiteLLM's own, which a provider would only wonder at
OPENAIS = frozenset(_OPENAIS.split())  # OpenAI's words for what other formats have in a form of their own
BETAS = frozenset(_BETAS.split())  # of Anthropic's, for which LiteLLM adds a header
