"""Django in threads: gunicorn --threads 8 django_app:web, beside a worker: rediq run reports:app"""

from functools import cache

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, JsonResponse
from django.urls import path
from django.views.decorators.http import require_GET, require_POST
from reports import make_report

import rediq_trio as rediq

# In a project of several files, this is in its settings.py.
settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["127.0.0.1", "localhost"])


@cache
def client() -> rediq.SyncClient:
    # At the first request, because a server may fork after it has imported this module.
    return rediq.connect_sync()


@require_POST
def order(request: HttpRequest) -> JsonResponse:
    task = make_report.task(request.GET["customer"], int(request.GET["pages"]))
    return JsonResponse({"id": client().enqueue(task).id}, status=202)


@require_GET
def look(request: HttpRequest, id: str) -> JsonResponse:
    try:
        info = client().task(id).info()
    except (rediq.ConfigError, rediq.TaskNotFound):
        return JsonResponse({"error": "there is no such report"}, status=404)
    return JsonResponse({"state": info.state, "result": info.result})


urlpatterns = [path("reports", order), path("reports/<path:id>", look)]
web = get_wsgi_application()
