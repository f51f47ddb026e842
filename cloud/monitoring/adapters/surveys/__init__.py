"""What is asked of the database again and again, one module a subject."""

from cloud.monitoring.adapters.survey import Survey
from cloud.monitoring.adapters.surveys import collection, commands, followers, network, prepaid, sales, service_levels

ALL: tuple[Survey, ...] = tuple(
    survey
    for subject in (network, followers, commands, sales, collection, service_levels, prepaid)
    for survey in subject.SURVEYS
)
