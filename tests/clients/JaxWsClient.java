// Calls the service as a program on JAX-WS does: with the classes wsimport makes from the WSDL. README.md says how to
// talk to it.

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.net.URL;
import java.nio.charset.StandardCharsets;
import java.util.ArrayDeque;
import java.util.Base64;
import java.util.Deque;
import java.util.List;
import java.util.Set;
import java.util.function.Function;
import java.util.stream.Collectors;
import javax.xml.datatype.XMLGregorianCalendar;
import javax.xml.namespace.QName;
import javax.xml.soap.SOAPException;
import javax.xml.ws.BindingProvider;
import javax.xml.ws.WebServiceException;
import javax.xml.ws.handler.MessageContext;
import javax.xml.ws.handler.soap.SOAPHandler;
import javax.xml.ws.handler.soap.SOAPMessageContext;
import javax.xml.ws.soap.SOAPFaultException;
import vendor.ArrayOfAssignLicensesItem;
import vendor.AssignLicenseRequest;
import vendor.AssignLicensesItem;
import vendor.AssignLicensesRequest;
import vendor.AuthHeader;
import vendor.GetAssignedLicenseDetailsRequest;
import vendor.GetAssignedLicensesSummaryRequest;
import vendor.GetLicensePoolsRequest;
import vendor.LicenseManagementService;
import vendor.LicenseManagementServiceSoap;
import vendor.LicenseType;
import vendor.TransferLicenseRequest;
import vendor.UnassignLicenseRequest;
import vendor.WebServiceResult;

class JaxWsClient {
    public static void main(String[] arguments) throws Exception {
        var service = new LicenseManagementService(new URL(arguments[0]));
        var port = arguments[1].equals("1.2")
            ? service.getLicenseManagementServiceSoap12()
            : service.getLicenseManagementServiceSoap();
        var calls = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        var answers = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        String line;
        while ((line = calls.readLine()) != null) {
            String said;
            try {
                said = call(port, new ArrayDeque<>(List.of(line.split("\t"))));
            } catch (SOAPFaultException e) {
                var fault = e.getFault();
                said = "\"fault\":" + quoted(fault.getFaultString())
                    + ",\"faultcode\":" + quoted(fault.getFaultCodeAsQName().getLocalPart());
            } catch (RuntimeException e) {
                said = "\"error\":" + quoted(e.toString());
            }
            answers.println("{" + said + "}");
        }
    }

    /** Each member of a request takes the next field. */
    static String call(LicenseManagementServiceSoap port, Deque<String> given) {
        var header = new AuthHeader();
        header.setUserName(given.pop());
        header.setPassword(given.pop());
        var operation = given.pop();
        switch (operation) {
            case "AssignLicense": {
                var request = new AssignLicenseRequest();
                request.setUsername(given.pop());
                request.setLicenseProviderEntityId(Integer.parseInt(given.pop()));
                var type = given.pop();
                try {
                    request.setLicenseType(LicenseType.fromValue(type));
                } catch (IllegalArgumentException unknown) {
                    request.setLicenseType(LicenseType.SQL_BACKUP);
                    ((BindingProvider) port).getBinding().setHandlerChain(List.of(new UnknownLicenseType(type)));
                }
                try {
                    return outcome(port.assignLicense(request, header).getResult());
                } finally {
                    ((BindingProvider) port).getBinding().setHandlerChain(List.of());
                }
            }
            case "GetAssignedLicenseDetails": {
                var request = new GetAssignedLicenseDetailsRequest();
                request.setUsername(given.pop());
                request.setLicenseType(LicenseType.fromValue(given.pop()));
                var details = port.getAssignedLicenseDetails(request, header);
                var data = details.getLicenseData();
                return outcome(details.getResult()) + ",\"ProductKey\":" + quoted(details.getProductKey())
                    + ",\"LicenseData\":" + quoted(data == null ? null : Base64.getEncoder().encodeToString(data));
            }
            case "GetAssignedLicensesSummary": {
                var request = new GetAssignedLicensesSummaryRequest();
                request.setEntityId(Integer.parseInt(given.pop()));
                request.setChildAccountsOnly(given.pop().equals("true"));
                var summary = port.getAssignedLicensesSummary(request, header);
                if (summary.getUsersLicenses() == null) return outcome(summary.getResult());
                var users = list(summary.getUsersLicenses().getUserLicenseSummary(), user ->
                    "\"Username\":" + quoted(user.getUsername())
                    + ",\"LicenseType\":" + quoted(user.getLicenseType().value()));
                return outcome(summary.getResult()) + ",\"UsersLicenses\":{\"UserLicenseSummary\":" + users + "}";
            }
            case "UnassignLicense": {
                var request = new UnassignLicenseRequest();
                request.setUsername(given.pop());
                request.setLicenseType(LicenseType.fromValue(given.pop()));
                return outcome(port.unassignLicense(request, header).getResult());
            }
            case "TransferLicense": {
                var request = new TransferLicenseRequest();
                request.setFromUsername(given.pop());
                request.setToUsername(given.pop());
                request.setLicenseType(LicenseType.fromValue(given.pop()));
                return outcome(port.transferLicense(request, header).getResult());
            }
            case "GetLicensePools": {
                var request = new GetLicensePoolsRequest();
                request.setEntityId(Integer.parseInt(given.pop()));
                var answer = port.getLicensePools(request, header);
                if (answer.getPools() == null) return outcome(answer.getResult());
                var pools = list(answer.getPools().getLicensePool(), pool ->
                    "\"PoolId\":" + quoted(pool.getPoolId())
                    + ",\"LicenseType\":" + quoted(pool.getLicenseType().value())
                    + ",\"SeatsTotal\":" + pool.getSeatsTotal() + ",\"SeatsInUse\":" + pool.getSeatsInUse()
                    + ",\"SeatsFree\":" + pool.getSeatsFree() + ",\"SeatsInUseMax\":" + pool.getSeatsInUseMax()
                    + ",\"StartsAt\":" + quoted(time(pool.getStartsAt()))
                    + ",\"ExpiresAt\":" + quoted(time(pool.getExpiresAt())));
                return outcome(answer.getResult()) + ",\"Pools\":{\"LicensePool\":" + pools + "}";
            }
            case "AssignLicenses": {
                var items = new ArrayOfAssignLicensesItem();
                while (given.size() > 1) {
                    var item = new AssignLicensesItem();
                    item.setUsername(given.pop());
                    item.setLicenseProviderEntityId(Integer.parseInt(given.pop()));
                    item.setLicenseType(LicenseType.fromValue(given.pop()));
                    items.getAssignLicensesItem().add(item);
                }
                var request = new AssignLicensesRequest();
                request.setItems(items);
                request.setDryRun(given.pop().equals("true"));
                var answer = port.assignLicenses(request, header);
                if (answer.getResults() == null) return outcome(answer.getResult());
                var results = list(answer.getResults().getAssignLicensesItemResult(), item -> {
                    var result = item.getResult();
                    return "\"Username\":" + quoted(item.getUsername()) + ",\"Result\":{\"Result\":" + result.getResult()
                        + ",\"Code\":" + quoted(result.getCode()) + ",\"Message\":" + quoted(result.getMessage()) + "}";
                });
                return outcome(answer.getResult()) + ",\"Results\":{\"AssignLicensesItemResult\":" + results + "}";
            }
            default:
                throw new IllegalArgumentException(operation);
        }
    }

    static String outcome(WebServiceResult result) {
        return "\"result\":" + result.getResult() + ",\"code\":" + quoted(result.getCode())
            + ",\"message\":" + quoted(result.getMessage());
    }

    static <T> String list(List<T> items, Function<T, String> shown) {
        return items.stream().map(item -> "{" + shown.apply(item) + "}").collect(Collectors.joining(",", "[", "]"));
    }

    static String time(XMLGregorianCalendar time) {
        return time == null ? null : time.toGregorianCalendar().toInstant().toString();
    }

    static String quoted(String text) {
        if (text == null) return "null";
        var quoted = new StringBuilder("\"");
        for (char c : text.toCharArray()) {
            if (c == '"' || c == '\\') quoted.append('\\').append(c);
            else if (c < ' ') quoted.append(String.format("\\u%04x", (int) c));
            else quoted.append(c);
        }
        return quoted.append('"').toString();
    }
}

/** Sends a license type the WSDL does not have: the constants wsimport makes are those it has. */
class UnknownLicenseType implements SOAPHandler<SOAPMessageContext> {
    private final String name;

    UnknownLicenseType(String name) {
        this.name = name;
    }

    @Override
    public boolean handleMessage(SOAPMessageContext context) {
        try {
            var types = context.getMessage().getSOAPBody().getElementsByTagNameNS("*", "LicenseType");
            if (types.getLength() > 0) types.item(0).setTextContent(name);
            return true;
        } catch (SOAPException e) {
            throw new WebServiceException(e);
        }
    }

    @Override
    public boolean handleFault(SOAPMessageContext context) {
        return true;
    }

    @Override
    public void close(MessageContext context) {}

    @Override
    public Set<QName> getHeaders() {
        return Set.of();
    }
}
